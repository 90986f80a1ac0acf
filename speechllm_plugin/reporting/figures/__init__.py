"""Figures of a report: charts as SVG."""

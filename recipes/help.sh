#!/usr/bin/env bash
# Source this: with -h or --help among the arguments, prints the comment that the recipe begins with, and ends. It needs no environment.
case " $* " in *" -h "* | *" --help "*) sed -n '2,/^set -/{/^#/s/^# \{0,1\}//p;}' "$0" && exit ;; esac

"""What training and decoding read: manifests, data configurations, features, batches."""

"""Prediction on clusters of samples that were kept apart."""

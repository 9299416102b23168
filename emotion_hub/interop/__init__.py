"""Interoperability with transformers, timm and Inference Endpoints."""

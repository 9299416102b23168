"""Files and code for other libraries: transformers, timm, and the handler of an Inference Endpoint."""

"""ONNX files: export, quantisation, shared weights, ONNX Runtime sessions."""

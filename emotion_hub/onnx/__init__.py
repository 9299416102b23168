"""ONNX files of a checkpoint: export, quantisation, weights stored once, and the files that predictions run on."""

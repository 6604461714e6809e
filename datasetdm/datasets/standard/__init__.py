"""The formats that the project writes and reads: COCO JSON, index PNG, depth PNG."""

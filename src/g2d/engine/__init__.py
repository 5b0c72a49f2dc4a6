"""Epochs, devices, checkpoints and logs, on torch alone. What happens in a step is the method's business."""

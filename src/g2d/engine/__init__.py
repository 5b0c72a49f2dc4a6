"""Epochs, devices, checkpoints and logs; what happens in a step is the method's business."""

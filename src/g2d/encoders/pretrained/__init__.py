"""Pretrained models: ResNet-18, MobileNetV2 and any Hugging Face model.

They need the transformers library (``pip install 'g2d[hf]'``), which is imported when an encoder
is built.
"""

from __future__ import annotations

from g2d.encoders.pretrained.adapter import HuggingFace
from g2d.encoders.pretrained.backbones import mobilenet_v2, resnet18

__all__ = ["HuggingFace", "mobilenet_v2", "resnet18"]

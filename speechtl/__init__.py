"""speechtl adapts pretrained speech recognisers to an accent, and proves that it helped."""

__version__ = "0.1.0"

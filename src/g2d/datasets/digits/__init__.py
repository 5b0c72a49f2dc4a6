"""The built-in problem: handwritten digits, keypad tones and written words."""

from g2d.datasets.base import DataSet
from g2d.datasets.digits.problem import DigitsOptions, open_digits

DATASET = DataSet(
    about="handwritten digit, keypad tone and written word; 10 classes or the digit's value",
    needs="nothing: scikit-learn includes the digits",
    license="CC BY 4.0 (UCI optical recognition of handwritten digits)",
    options=DigitsOptions,
    open=open_digits,
)

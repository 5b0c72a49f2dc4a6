"""The built-in problem: handwritten digits, keypad tones and written words."""

from g2d.datasets.base import DataSet
from g2d.datasets.digits.options import DigitsOptions
from g2d.datasets.digits.problem import open_digits

DATASET = DataSet(
    about="handwritten digit, keypad tone and written word, or two digits; 10 classes or a value",
    needs="nothing: scikit-learn includes the digits",
    license="CC BY 4.0 (UCI optical recognition of handwritten digits)",
    options=DigitsOptions,
    open=open_digits,
)

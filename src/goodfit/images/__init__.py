"""A folder of images or an array of them -> pixels of one size; few numbers of each, and pictures for the report."""

from goodfit.images.form import FEATURES, Form, shrink
from goodfit.images.pictures import pictures
from goodfit.images.read import Images, from_array, read
from goodfit.images.walk import every_file

__all__ = ["FEATURES", "Form", "Images", "every_file", "from_array", "pictures", "read", "shrink"]

"""Datasets of sequences: synthetic tasks, images as sequences, music, time series, moving digits."""

from kapps._names import attribute_finder
from kapps.data.sequence.csv_series import ValueSeries as ValueSeries
from kapps.data.sequence.csv_series import read_value_series as read_value_series
from kapps.data.sequence.moving_digits import moving_digits_dataset as moving_digits_dataset
from kapps.data.sequence.piano_rolls import piano_roll_dataset as piano_roll_dataset
from kapps.data.sequence.piano_rolls import read_piano_rolls as read_piano_rolls
from kapps.data.sequence.pixel_sequences import pixel_dataset as pixel_dataset
from kapps.data.sequence.pixel_sequences import read_grey_images as read_grey_images
from kapps.data.sequence.planar_tasks import convex_hull as convex_hull
from kapps.data.sequence.planar_tasks import is_simple_polygon as is_simple_polygon
from kapps.data.sequence.planar_tasks import polygon_area as polygon_area
from kapps.data.sequence.planar_tasks import shortest_tours as shortest_tours
from kapps.data.sequence.planar_tasks import tour_lengths as tour_lengths
from kapps.data.sequence.synthetic_tasks import adding_problem_dataset as adding_problem_dataset
from kapps.data.sequence.synthetic_tasks import copy_memory_dataset as copy_memory_dataset
from kapps.data.sequence.timeseries import Series as Series
from kapps.data.sequence.timeseries import read_series as read_series

__getattr__ = attribute_finder(__name__)

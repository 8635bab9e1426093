"""Plots of models, training and results. Every plot of kapps is made here, with matplotlib."""

from kapps._names import attribute_finder
from kapps.visualize._style import BLACK, COLOURS, FONT_SIZE, GREY, new_figure, save_figure
from kapps.visualize.accuracy_plot import plot_accuracy
from kapps.visualize.attention_plot import plot_attention
from kapps.visualize.caption_plot import plot_caption
from kapps.visualize.cell_plot import plot_cells
from kapps.visualize.episode_plot import plot_episodes
from kapps.visualize.error_distribution_plot import plot_error_distributions
from kapps.visualize.pointer_plot import plot_pointers
from kapps.visualize.profile_plot import plot_profile
from kapps.visualize.series_plot import plot_lines, plot_predictions, plot_zipf
from kapps.visualize.span_plot import plot_spans
from kapps.visualize.training_curves import plot_history, plot_training_curves

__all__ = [
    "BLACK",
    "COLOURS",
    "FONT_SIZE",
    "GREY",
    "new_figure",
    "plot_accuracy",
    "plot_attention",
    "plot_caption",
    "plot_cells",
    "plot_episodes",
    "plot_error_distributions",
    "plot_history",
    "plot_lines",
    "plot_pointers",
    "plot_predictions",
    "plot_profile",
    "plot_spans",
    "plot_training_curves",
    "plot_zipf",
    "save_figure",
]

__getattr__ = attribute_finder(__name__)

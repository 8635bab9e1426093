"""What is inside a model, as arrays, and every plot of kapps, with matplotlib.

Functions that look inside take any Keras model of the running backend, also a nested or subclassed one, and return
NumPy arrays; the functions `plot_...` draw them.
"""

from kapps._names import attribute_finder
from kapps.visualize._style import BLACK, COLOURS, FONT_SIZE, GREY, new_figure, save_figure
from kapps.visualize.accuracy_plot import plot_accuracy
from kapps.visualize.activation_maps import cam, enlarge, grad_cam, guided_grad_cam, occlusion
from kapps.visualize.atlas import Atlas, atlas, principal_components
from kapps.visualize.attention_plot import plot_attention
from kapps.visualize.attention_view_plot import plot_head_view, plot_model_view
from kapps.visualize.attention_views import attention_rollout, head_view, model_view
from kapps.visualize.attention_weights import AttentionMap, attention_maps
from kapps.visualize.attributions import (
    IntegratedGradients,
    deconvnet,
    gradient_times_input,
    guided_backpropagation,
    integrated_gradients,
    saliency,
    smooth_grad,
)
from kapps.visualize.caption_plot import plot_caption
from kapps.visualize.cell_plot import plot_cells
from kapps.visualize.embeddings import embedding_page, nearest_neighbours, projector
from kapps.visualize.episode_plot import plot_episodes
from kapps.visualize.error_distribution_plot import plot_error_distributions
from kapps.visualize.features import feature_maps, filters, top_images
from kapps.visualize.map_plot import plot_heat_maps, plot_sheet
from kapps.visualize.maximisation import maximise
from kapps.visualize.page_of_image import image_page
from kapps.visualize.page_of_text import text_page
from kapps.visualize.pointer_plot import plot_pointers
from kapps.visualize.probe_plot import plot_probes
from kapps.visualize.probes import Probe, probe
from kapps.visualize.profile_plot import plot_profile
from kapps.visualize.randomisation import randomised
from kapps.visualize.recurrent_states import cell_states, find_cells, similar_states
from kapps.visualize.search_plot import plot_evaluations, plot_regret
from kapps.visualize.series_plot import plot_lines, plot_predictions, plot_zipf
from kapps.visualize.span_plot import plot_spans
from kapps.visualize.text_plot import plot_text
from kapps.visualize.training_curves import plot_history, plot_training_curves

__all__ = [
    "BLACK",
    "COLOURS",
    "FONT_SIZE",
    "GREY",
    "Atlas",
    "AttentionMap",
    "IntegratedGradients",
    "Probe",
    "atlas",
    "attention_maps",
    "attention_rollout",
    "cam",
    "cell_states",
    "deconvnet",
    "embedding_page",
    "enlarge",
    "feature_maps",
    "filters",
    "find_cells",
    "grad_cam",
    "gradient_times_input",
    "guided_backpropagation",
    "guided_grad_cam",
    "head_view",
    "image_page",
    "integrated_gradients",
    "maximise",
    "model_view",
    "nearest_neighbours",
    "new_figure",
    "occlusion",
    "plot_accuracy",
    "plot_attention",
    "plot_caption",
    "plot_cells",
    "plot_episodes",
    "plot_error_distributions",
    "plot_evaluations",
    "plot_head_view",
    "plot_heat_maps",
    "plot_history",
    "plot_lines",
    "plot_model_view",
    "plot_pointers",
    "plot_predictions",
    "plot_probes",
    "plot_profile",
    "plot_regret",
    "plot_sheet",
    "plot_spans",
    "plot_text",
    "plot_training_curves",
    "plot_zipf",
    "principal_components",
    "probe",
    "projector",
    "randomised",
    "saliency",
    "save_figure",
    "similar_states",
    "smooth_grad",
    "text_page",
    "top_images",
]

__getattr__ = attribute_finder(__name__)

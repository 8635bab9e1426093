"""The arguments of `kapps visualize`."""

from kapps._arguments import integer, output_path, path


def add_arguments(command, output_help, preprocessing_help):
    """Adds the arguments of `kapps visualize`."""
    command.add_argument(
        "model",
        type=path,
        metavar="MODEL",
        help="a builder's name, a .keras file, or a folder with model.keras",
    )
    command.add_argument(
        "image", nargs="?", type=path, metavar="IMAGE", help="JPEG, PNG, GIF, BMP or WebP"
    )
    command.add_argument("--text", help="a text, for a model of tokens")
    command.add_argument("--html", type=output_path, metavar="FILE", help=output_help)
    command.add_argument(
        "--weights", type=path, help='of a builder: "imagenet" (downloaded once) or a weights file'
    )
    images = command.add_argument_group("images")
    images.add_argument(
        "--labels",
        type=path,
        metavar="FILE",
        help="class names, one a line [ImageNet's, or numbers]",
    )
    images.add_argument(
        "--class",
        dest="explained",
        metavar="CLASS",
        help="number or name of the class [most likely]",
    )
    images.add_argument(
        "--methods", metavar="A,B", help="heat maps, such as gradient,Grad-CAM [all nine]"
    )
    images.add_argument(
        "--check", type=integer(0, 1000), metavar="STEPS", help="steps of random weights [4]"
    )
    images.add_argument(
        "--units", type=integer(0, 1000), help="units of each size of the feature maps [16]"
    )
    images.add_argument(
        "--maximise", type=integer(0, 10**6), metavar="STEPS",
        help="steps of activation maximisation of each unit [0: none]",
    )  # fmt: skip
    images.add_argument(
        "--images",
        type=path,
        metavar="FOLDER",
        help="images whose parts show what a unit reacts to",
    )
    images.add_argument("--preprocessing", metavar="NAME", help=preprocessing_help)
    texts = command.add_argument_group("texts")
    texts.add_argument(
        "--vocabulary",
        type=path,
        metavar="FILE",
        help="JSON of a recipe [vocabulary.json of the model's folder]",
    )
    texts.add_argument("--target", metavar="TEXT", help="target text of an encoder-decoder")

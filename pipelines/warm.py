"""Imported by the fork server before it forks: what every worker needs, so that no worker imports it again."""

import transforms.blocks  # noqa: F401

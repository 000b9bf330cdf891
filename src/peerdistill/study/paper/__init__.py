"""The published figures: Tables 1 to 5 of MCL-OKD (Yang et al., ICASSP 2021)."""

from peerdistill.study.paper.published import SOURCE, Published, all_published, published

__all__ = ["SOURCE", "Published", "all_published", "published"]

"""The data that ``fewshot`` accepts. Each file here that holds ``SOURCE`` is a data source; nothing else lists it."""

from peerdistill.data.data_spec import SourceCatalog

SOURCES = SourceCatalog("peerdistill.fewshot.sources")

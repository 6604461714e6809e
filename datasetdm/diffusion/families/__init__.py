"""One file per family of diffusion models; `datasetdm.diffusion.loading.FAMILIES` lists them."""

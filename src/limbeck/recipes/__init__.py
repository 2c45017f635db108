"""Defaults by name: one plain function each."""

RECIPES = {
    "ssld_small": "limbeck.recipes.ssld:ssld_small",
    "ssld_large": "limbeck.recipes.ssld:ssld_large",
}

"""Train what recipes say: one recipe, many recipes, in one process or several."""

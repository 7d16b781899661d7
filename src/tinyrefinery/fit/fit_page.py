def write_fit_page(f): return f.folder/"page.html"

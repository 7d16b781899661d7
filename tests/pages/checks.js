// What is wrong with a page, as a list of sentences: for `page.evaluate`.
() => {
  const faults = [];
  const visible = (e) => e.checkVisibility({ opacityProperty: true, visibilityProperty: true })
    && e.getClientRects().length > 0;
  const named = (e) => {
    const text = (e.textContent || "").trim().replace(/\s+/g, " ").slice(0, 40);
    return `<${e.localName}${e.id ? "#" + e.id : ""} class="${e.getAttribute("class") || ""}"> ${text}`;
  };

  // Layout: the page never scrolls sideways, and no text is cut without a way to read it.
  const wide = document.documentElement.scrollWidth;
  if (wide > innerWidth) faults.push(`the page is ${wide} pixels wide in a window of ${innerWidth}`);
  const reachable = (e) => e.tabIndex >= 0 || e.querySelector("a[href], button, input, [tabindex]");
  for (const e of document.querySelectorAll("body *")) {
    if (!visible(e) || e.closest("svg")) continue;
    const style = getComputedStyle(e);
    const across = e.scrollWidth > e.clientWidth + 1, down = e.scrollHeight > e.clientHeight + 1;
    if (/auto|scroll/.test(style.overflowX + style.overflowY) && (across || down)) {
      if (!reachable(e)) faults.push(`keys do not scroll ${named(e)}`);
    } else if (style.overflowX === "hidden" && across && !e.title) {
      faults.push(`cut text without a title: ${named(e)}`);
    }
  }

  // Tables show all their columns; those of details and confusions may scroll.
  for (const e of document.querySelectorAll(".scroll")) {
    if (visible(e) && e.scrollWidth > e.clientWidth + 1 && !e.querySelector(".dense")) {
      faults.push(`a table ${e.scrollWidth} pixels wide in ${e.clientWidth}: ${named(e)}`);
    }
  }

  // Pictures and controls have names.
  for (const e of document.querySelectorAll("img")) {
    if (e.getClientRects().length && e.src && !e.alt.trim()) faults.push(`no alt text: ${named(e.parentElement)}`);
  }
  for (const e of document.querySelectorAll("body svg")) {
    if (visible(e) && !e.getAttribute("aria-label")) faults.push(`no name: ${named(e)}`);
  }
  for (const e of document.querySelectorAll("a, button, input, summary, [tabindex], [role=region]")) {
    const name = e.getAttribute("aria-label") || e.textContent.trim() || e.labels?.[0]?.textContent.trim();
    if (visible(e) && !name) faults.push(`no name: ${named(e)}`);
  }

  // Contrast of text by WCAG 2.2, level AA: 4.5, or 3 for large text.
  const parse = (text) => {
    const numbers = (text.match(/[\d.]+(e-?\d+)?/g) || []).map(Number);
    if (text.startsWith("color(srgb")) return [...numbers.slice(0, 3).map((v) => 255 * v), numbers[3] ?? 1];
    return [...numbers.slice(0, 3), numbers[3] ?? 1];
  };
  const over = (front, back) => [0, 1, 2].map((i) => front[3] * front[i] + (1 - front[3]) * back[i]);
  const background = (e) => {
    if (!e) return parse(getComputedStyle(document.documentElement).backgroundColor)[3]
      ? parse(getComputedStyle(document.documentElement).backgroundColor) : [255, 255, 255, 1];
    const own = parse(getComputedStyle(e).backgroundColor);
    return own[3] === 1 ? own : [...over(own, background(e.parentElement)), 1];
  };
  const luminance = (c) => {
    const [r, g, b] = c.slice(0, 3).map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const seen = new Set();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const e = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || /^(script|style|title|option)$/.test(e.localName) || !visible(e)) continue;
    if (e.closest(":disabled")) continue;
    const style = getComputedStyle(e), back = background(e);
    const color = parse(e.closest("svg") ? style.fill : style.color);
    const [a, b] = [luminance(over(color, back)), luminance(back)].sort((x, y) => y - x);
    const size = parseFloat(style.fontSize), bold = Number(style.fontWeight) >= 700;
    const need = size >= 24 || (bold && size >= 18.66) ? 3 : 4.5, ratio = (a + 0.05) / (b + 0.05);
    const key = `${style.color} on ${back}`;
    if (ratio < need && !seen.has(key)) {
      seen.add(key);
      faults.push(`contrast ${ratio.toFixed(2)} of ${need}: ${named(e)}`);
    }
  }
  return faults;
}

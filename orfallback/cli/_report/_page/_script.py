"""What the page does beyond showing: figures under the pointer, and tables in another order. Without it all is read."""

from __future__ import annotations

#: All of it.
SCRIPT = """
"use strict";
{
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.hidden = true;
  tip.setAttribute("aria-hidden", "true");
  document.body.append(tip);
  for (const title of document.querySelectorAll("svg title")) {
    const owner = title.parentNode;
    if (owner.localName === "svg") owner.setAttribute("aria-label", title.textContent);
    else owner.dataset.tip = title.textContent;
    title.remove();
  }
  const show = (event) => {
    const owner = event.target.closest?.("[data-tip]");
    tip.hidden = !owner;
    if (!owner) return;
    tip.textContent = owner.dataset.tip;
    const { width, height } = tip.getBoundingClientRect();
    const left = Math.min(event.clientX + 14, innerWidth - width - 8);
    const above = event.clientY - height - 14;
    tip.style.left = `${Math.max(left, 8)}px`;
    tip.style.top = `${above < 8 ? event.clientY + 18 : above}px`;
  };
  document.addEventListener("pointermove", show);
  document.addEventListener("pointerdown", show);
  document.addEventListener("pointerleave", () => { tip.hidden = true; });
  addEventListener("scroll", () => { tip.hidden = true; }, { passive: true });

  for (const table of document.querySelectorAll("table.sorting")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const key = (row) => row.cells[column].dataset.key;
        const down = head.getAttribute("aria-sort") !== "descending" && column > 0
          || head.getAttribute("aria-sort") === "ascending";
        const order = (one, other) => column === 0
          ? key(one).localeCompare(key(other)) : Number(key(one)) - Number(key(other));
        const rows = [...table.tBodies[0].rows].sort((one, other) => (down ? -1 : 1) * order(one, other));
        heads.forEach((each) => each.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        table.tBodies[0].append(...rows);
      });
    });
  }
}
"""

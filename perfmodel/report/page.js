(async function () {
  "use strict";
  const root = document.documentElement;
  const {repaint, fit, dark} = window.perfmodelLook;
  const config = {
    displaylogo: false, displayModeBar: "hover", staticPlot: false, plotlyServerURL: "",
    modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]]
  };
  const plots = Array.from(document.querySelectorAll(".plot"));
  const draw = (onDark) => {
    for (const box of plots) {
      const said = JSON.parse(document.getElementById(box.id + "-data").textContent);
      const figure = onDark ? repaint(said) : said;
      window.Plotly.react(box, figure.data, figure.layout, config);
      box.classList.remove("waiting");
      fit(box);
    }
  };

  // Tables that sort by a click on a heading.
  for (const table of document.querySelectorAll("table.sorts")) {
    const heads = Array.from(table.tHead.rows[0].cells);
    heads.forEach((head, at) => {
      const button = document.createElement("button");
      button.type = "button";
      while (head.firstChild) button.appendChild(head.firstChild);
      head.appendChild(button);
      button.addEventListener("click", () => {
        const up = head.getAttribute("aria-sort") === "descending" ||
          (!head.hasAttribute("aria-sort") && !head.classList.contains("n"));
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        const rows = Array.from(table.tBodies[0].rows);
        const key = (row) => {
          const cell = row.cells[at], said = cell.dataset.v;
          return said === undefined ? cell.textContent : Number(said);
        };
        rows.sort((a, b) => {
          const x = key(a), y = key(b);
          const order = typeof x === "number" && typeof y === "number"
            ? (isNaN(x) ? 1 : isNaN(y) ? -1 : x - y) : String(x).localeCompare(String(y), "en");
          return up ? order : -order;
        });
        rows.forEach((row) => table.tBodies[0].appendChild(row));
      });
    });
  }

  if (!plots.length) return;
  try {
    const packed = document.getElementById("plotly").textContent.trim();
    const bytes = Uint8Array.from(atob(packed), (c) => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    const source = await new Response(stream).text();
    const script = document.createElement("script");
    script.textContent = source;
    document.head.appendChild(script);
    draw(dark.matches);
    dark.addEventListener("change", () => draw(dark.matches));
    // Paper is white.
    addEventListener("beforeprint", () => draw(false));
    addEventListener("afterprint", () => draw(dark.matches));
    addEventListener("resize", () => plots.forEach(fit));
    root.classList.add("drawn");
  } catch (error) {
    for (const box of plots) {
      box.textContent = "This browser cannot unpack the drawing library; the data stands below.";
    }
    console.error(error);
  }
})();

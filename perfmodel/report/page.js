(async function () {
  "use strict";
  const root = document.documentElement;
  // What the figures are painted in -> the same on a dark ground.
  const DARK = {
    "#222222": "#e6e6e8", "#767676": "#a4a8ae", "#dddddd": "#4a4f56", "#ececec": "#2d3136",
    "#ffffff": "#16181b", "white": "#16181b", "black": "#e6e6e8", "#0072b2": "#4aa3df",
    "#d55e00": "#f0813a", "#8f6a00": "#c79a2a", "#a0522d": "#cf8560",
    "#007a59": "#2fb78d", "#1f7fb8": "#4aa3df", "#d6e8f4": "#1f3a4d", "#f1f1f1": "#24282d",
    "#f3f3f3": "#22262a", "#c8c8c8": "#5a6068", "#bbbbbb": "#666c74", "#b0b0b0": "#70767e"
  };
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const repaint = (value) => {
    if (typeof value === "string") {
      const whole = DARK[value.toLowerCase()];
      return whole || value.replace(/#[0-9a-fA-F]{6}\b/g, (c) => DARK[c.toLowerCase()] || c)
        .replace(/rgba\(255, ?255, ?255,/g, "rgba(22,24,27,");
    }
    if (Array.isArray(value)) return value.map(repaint);
    if (value && typeof value === "object") {
      const out = {};
      for (const key of Object.keys(value)) out[key] = key === "template" ? value[key] : repaint(value[key]);
      return out;
    }
    return value;
  };
  const config = {
    displaylogo: false, displayModeBar: "hover", staticPlot: false, plotlyServerURL: "",
    modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]]
  };
  // A screen narrower than a figure shows it smaller, and at last in a frame that scrolls.
  const fit = (box) => {
    const inner = box.querySelector(".svg-container"), wide = Number(box.dataset.width);
    const scale = Math.min(1, Math.max(0.62, box.clientWidth / wide));
    inner.style.transformOrigin = "0 0";
    inner.style.transform = scale < 1 ? "scale(" + scale + ")" : "";
    box.style.height = scale < 1 ? Math.ceil(Number(box.dataset.height) * scale) + 8 + "px" : "";
    box.parentElement.classList.toggle("wide", wide * scale > box.clientWidth + 1);
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

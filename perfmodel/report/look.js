// How figures look on a dark ground and on a narrow screen.
window.perfmodelLook = (function () {
  "use strict";
  // What the figures are painted in -> the same on a dark ground.
  const DARK = {
    "#222222": "#e6e6e8", "#767676": "#a4a8ae", "#dddddd": "#4a4f56", "#ececec": "#2d3136",
    "#ffffff": "#16181b", "white": "#16181b", "black": "#e6e6e8", "#0072b2": "#4aa3df",
    "#d55e00": "#f0813a", "#8f6a00": "#c79a2a", "#a0522d": "#cf8560",
    "#007a59": "#2fb78d", "#1f7fb8": "#4aa3df", "#d6e8f4": "#1f3a4d", "#f1f1f1": "#24282d",
    "#f3f3f3": "#22262a", "#c8c8c8": "#5a6068", "#bbbbbb": "#666c74", "#b0b0b0": "#70767e"
  };
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
  // A screen narrower than a figure shows it smaller, and at last in a frame that scrolls.
  const fit = (box) => {
    const inner = box.querySelector(".svg-container"), wide = Number(box.dataset.width);
    const scale = Math.min(1, Math.max(0.62, box.clientWidth / wide));
    inner.style.transformOrigin = "0 0";
    inner.style.transform = scale < 1 ? "scale(" + scale + ")" : "";
    box.style.height = scale < 1 ? Math.ceil(Number(box.dataset.height) * scale) + 8 + "px" : "";
    box.parentElement.classList.toggle("wide", wide * scale > box.clientWidth + 1);
  };
  return {repaint: repaint, fit: fit, dark: matchMedia("(prefers-color-scheme: dark)")};
})();

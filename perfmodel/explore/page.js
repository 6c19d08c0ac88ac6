// What the page of `perfmodel explore` does in the browser: it shows answers, draws, names sliders.
(function () {
  "use strict";
  const look = window.perfmodelLook;
  // Texts where they belong, and figures as reports have them: in the colours of the ground, as
  // large as the screen allows.
  const draw = (answer, _) => {
    for (const [id, html] of Object.entries((answer || {}).html || {})) {
      const box = document.getElementById(id);
      if (box) box.innerHTML = html;
    }
    return window.dash_clientside.callback_context.outputs_list.map(({id}) => {
      const box = document.getElementById(id + "-box"), own = ((answer || {}).figures || {})[id];
      if (!box) return window.dash_clientside.no_update;
      box.parentElement.style.display = own ? "" : "none";
      if (!own) return {data: [], layout: {}};
      const figure = look.dark.matches ? look.repaint(own) : own;
      const alt = own.layout.meta.alt;
      box.setAttribute("aria-label", alt);
      document.getElementById(id + "-words").textContent = alt;
      box.dataset.width = own.layout.width;
      box.dataset.height = own.layout.height;
      const fit = () => box.querySelector(".svg-container") && look.fit(box);
      [60, 300, 900].forEach((ms) => setTimeout(fit, ms));
      return figure;
    });
  };
  // What a slider says to those who hear it: its parameter, and the number that it stands for.
  const name = (exponent, label) => {
    const value = String(Math.round(Math.pow(2, exponent || 0)));
    const knob = window.dash_clientside.callback_context.outputs_list.id.replace("-shown", "");
    setTimeout(() => document.querySelectorAll(`#${knob} [role=slider]`).forEach((thumb) => {
      thumb.setAttribute("aria-label", label);
      thumb.setAttribute("aria-valuetext", value);
    }), 0);
    return value;
  };
  window.dash_clientside = Object.assign(window.dash_clientside || {}, {perfmodel: {draw, name}});
  look.dark.addEventListener("change", () => {
    const tell = window.dash_clientside.set_props;
    if (tell) tell("ground", {data: look.dark.matches});
  });
  addEventListener("resize", () => document.querySelectorAll(".plot").forEach(
    (box) => box.querySelector(".svg-container") && look.fit(box)));
})();

"use strict";
(() => {
  const views = new Map();

  // Give every model its colours from the page: a tag says which property takes which CSS variable.
  const paint = () => {
    const style = getComputedStyle(document.documentElement);
    for (const doc of Bokeh.documents) {
      for (const model of doc._all_models.values()) {
        for (const tag of model.tags ?? []) {
          const [property, variable] = String(tag).split("=");
          const colour = variable && style.getPropertyValue(variable).trim();
          if (!colour) continue;
          const now = model[property];  // a glyph's colour is an object, as it could also be a column of data
          model[property] = now !== null && typeof now === "object" ? {value: colour} : colour;
        }
      }
    }
  };

  const scale = (index, name) => {
    const root = views.get(`item-curve${index}`);
    if (root) for (const plot of root.children) plot.visible = plot.name === name;
  };

  const embed = async (target) => {
    const id = target.dataset.item;
    const item = JSON.parse(document.getElementById(id).textContent);
    const manager = await Bokeh.embed.embed_item(item, target);
    const view = [...(manager.roots ?? [])][0];
    if (view) views.set(id, view.model);
    target.closest(".chart").classList.add("live");
  };

  const show = (index) => {
    document.querySelectorAll(".curve").forEach((figure, i) => { figure.hidden = i !== index; });
    document.querySelectorAll(".scale").forEach((set) => { set.hidden = Number(set.dataset.chart) !== index; });
  };

  const start = async () => {
    for (const target of document.querySelectorAll(".plot")) await embed(target);
    paint();
    for (const controls of document.querySelectorAll(".controls")) {
      controls.hidden = false;
      controls.addEventListener("change", ({target}) => {
        if (target.name === "quantity") show(Number(target.value));
        else scale(Number(target.closest(".scale").dataset.chart), target.value);
      });
    }
    show(0);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
    document.documentElement.dataset.ready = "true";
  };
  if (document.readyState === "loading") addEventListener("DOMContentLoaded", start);
  else start();
})();

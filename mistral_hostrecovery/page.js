"use strict";
const field = document.getElementById("filter");
if (field) {
  const rows = document.querySelectorAll("table.instances tbody tr");
  document.getElementById("filtering").hidden = false;
  field.addEventListener("input", () => {
    const wanted = field.value.toLowerCase();
    const shown = new Set();
    for (const row of rows) {
      row.hidden = !row.textContent.toLowerCase().includes(wanted);
      const around = row.closest("details");
      if (!row.hidden && around) shown.add(around);
    }
    if (wanted) for (const around of shown) around.open = true;
    const all = document.querySelectorAll("table.instances.chart tbody tr");
    const left = [...all].filter((row) => !row.hidden).length;
    document.getElementById("shown").textContent =
      wanted ? ` ${left} of ${all.length} in the timeline` : "";
  });
}

"use strict";
// Text of the data (names of classes, files, runs) enters the page only as textContent, or escaped for plotly's
// pseudo-HTML by `literal`.
(() => {
  const { charts, pictures } = JSON.parse(document.getElementById("data").textContent);
  const coarse = matchMedia("(pointer: coarse)").matches;
  const root = document.documentElement;

  // Plotly reads <b>, <a> and entities in text.
  const literal = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const short = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);
  const element = (tag, properties = {}, children = []) => {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  };

  // ---- colours

  const probe = element("span", { hidden: true });
  document.body.append(probe);
  const colour = (name) => {
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  };
  const series = (number) => colour(`series-${number % 8}`);
  const dashes = ["solid", "dash", "dot", "dashdot"];

  // ---- charts: each function returns plotly's traces and layout

  const axis = (title) => ({
    title: { text: title, standoff: 6 }, gridcolor: colour("line"), linecolor: colour("line"), zeroline: false,
    automargin: true, fixedrange: false,
  });
  const layoutOf = (height, more) => ({
    height, margin: { l: 48, r: 10, t: coarse ? 34 : 8, b: 40 }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: colour("text") },
    hoverlabel: { bgcolor: colour("surface"), bordercolor: colour("line"), font: { color: colour("text") }, namelength: -1 },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("quiet"), activecolor: colour("accent") },
    dragmode: coarse ? false : "zoom", ...more,
  });

  // Room for a legend below a chart.
  const legendOf = (names, width) => {
    const entry = 50 + 6.6 * Math.max(...names.map((name) => name.length));
    const room = 24 * Math.ceil(names.length / Math.max(1, Math.floor(width / entry)));
    return { room, legend: { orientation: "h", x: 0, yref: "container", y: 0, yanchor: "bottom" } };
  };

  const draw = {
    lines({ data }, width) {
      const groups = new Set();
      const traces = data.series.map((line) => {
        const first = !groups.has(line.group || line.name);
        groups.add(line.group || line.name);
        const dash = line.style === "dash" ? "dash" : dashes[Math.floor(line.colour / 8) % 4];
        return {
          type: "scatter", mode: line.x.length < 4 ? "lines+markers" : "lines", x: line.x, y: line.y,
          name: literal(line.group || line.name), legendgroup: literal(line.group || line.name), showlegend: first,
          line: { color: series(line.colour), dash, width: line.style === "thin" ? 1 : 2 },
          text: line.x.map(() => literal(line.name)), hovertemplate: "%{text}: %{y:.5~g}<extra></extra>",
        };
      });
      const y = { ...axis(data.y), type: data.log ? "log" : "linear" };
      const x = { ...axis(data.x), ...(data.x === "epoch" && data.series[0].x.length < 8 ? { dtick: 1 } : {}) };
      const { room, legend } = legendOf([...groups], width - 60);
      const showlegend = traces.length > 1;
      const layout = layoutOf(290 + (showlegend ? room : 0), {
        xaxis: x, yaxis: y, hovermode: traces.length > 8 ? "closest" : "x unified", showlegend, legend,
      });
      if (showlegend) layout.margin.b = 44 + room;
      return [traces, layout];
    },
    bars({ data }) {
      const places = data.names.map((_, place) => place);
      const traces = data.series.map((one, number) => ({
        type: "bar", orientation: "h", y: places, x: one.values, name: literal(one.name), marker: { color: series(number) },
        text: data.names.map(literal), textposition: "none", hovertemplate: "%{text}: %{x:.4f}<extra>%{fullData.name}</extra>",
      }));
      const names = data.names.map((name) => literal(short(name, innerWidth < 600 ? 14 : 28)));
      const y = { ...axis(""), tickvals: places, ticktext: names, autorange: "reversed", fixedrange: true };
      const height = 90 + places.length * Math.max(18, 14 * traces.length);
      return [traces, layoutOf(height, {
        xaxis: { ...axis("recall"), range: [0, 1], fixedrange: true }, yaxis: y, showlegend: traces.length > 1,
        legend: { orientation: "h", x: 0, y: -60 / height, yanchor: "top" }, dragmode: false,
      })];
    },
    confusion({ data, table }, width) {
      const count = data.shown.length;
      const place = new Map(data.shown.map((k, number) => [k, number]));
      const empty = () => data.shown.map(() => Array(count).fill(0));
      const [z, text, hover] = [empty(), empty(), empty()];
      for (const row of hover) row.fill("");
      for (const row of text) row.fill("");
      for (const [from, to, images, share, t, p] of table.rows) {
        if (!place.has(t) || !place.has(p)) continue;
        const [i, j] = [place.get(t), place.get(p)];
        z[i][j] = Math.sqrt(share);
        text[i][j] = String(images);
        hover[i][j] = `${literal(from)} as ${literal(to)}: ${images} (${(100 * share).toFixed(1)} %)`;
      }
      const places = data.shown.map((_, number) => number);
      const names = data.shown.map((k) => literal(short(data.names[k], 16)));
      const labelled = { tickvals: places, ticktext: names, tickfont: { size: count > 40 ? 8 : 11 }, showgrid: false };
      const side = Math.max(320, Math.min(width, 760, 120 + 72 * count));
      const crowded = count > 60 || (width < 500 && count > 24);
      const traces = [{
        type: "heatmap", x: places, y: places, z, text: hover, customdata: data.shown.map((t) => data.shown.map((p) => [t, p])),
        colorscale: [[0, colour("surface")], [1, colour("series-0")]], zmin: 0, zmax: 1, showscale: false, xgap: 1, ygap: 1,
        hovertemplate: "%{text}<extra></extra>", hoverongaps: false,
      }];
      if (count <= 20 && width / count > 26) {
        const dark = text.flatMap((row, i) => row.map((value, j) => (z[i][j] > 0.75 ? colour("surface") : colour("text"))));
        traces.push({
          type: "scatter", mode: "text", x: places.flatMap(() => places), y: places.flatMap((y) => places.map(() => y)),
          text: text.flat(), textfont: { size: 11, color: dark }, hoverinfo: "skip", showlegend: false,
        });
      }
      const hidden = crowded ? { showticklabels: false } : {};
      return [traces, layoutOf(side, {
        xaxis: { ...axis("predicted class"), ...labelled, ...hidden, tickangle: -60, range: [-0.5, count - 0.5] },
        yaxis: { ...axis("true class"), ...labelled, ...hidden, range: [count - 0.5, -0.5] }, hovermode: "closest",
      })];
    },
    reliability({ data }, width) {
      const traces = [
        { type: "bar", x: data.places, y: data.accuracy, name: "share correct", marker: { color: series(0) },
          width: 1 / data.places.length - 0.004, text: data.counts.map((n) => `${n} images`), textposition: "none",
          hovertemplate: "%{y:.3f} correct, %{text}<extra></extra>" },
        { type: "scatter", mode: "lines", x: [0, 1], y: [0, 1], name: "perfect calibration", hoverinfo: "skip",
          line: { color: colour("quiet"), dash: "dash", width: 1.5 } },
      ];
      const { room, legend } = legendOf(["perfect calibration", "share correct"], width - 60);
      const layout = layoutOf(340 + room, {
        xaxis: { ...axis("probability of the predicted class"), range: [0, 1] },
        yaxis: { ...axis("share correct"), range: [0, 1.02] }, bargap: 0.05, legend,
      });
      layout.margin.b = 44 + room;
      return [traces, layout];
    },
    heatmap({ data }, width) {
      const text = data.z.map((row) => row.map((value) => (value === null ? "" : value.toPrecision(3))));
      const traces = [{
        type: "heatmap", x: data.x.map(literal), y: data.y.map(literal), z: data.z, text, texttemplate: "%{text}",
        colorscale: [[0, colour("surface")], [1, colour("series-0")]], showscale: false, xgap: 1, ygap: 1,
        hovertemplate: "%{y}, %{x}: %{z:.4g}<extra></extra>",
      }];
      const side = Math.max(240, Math.min(width, 70 + 56 * data.y.length));
      return [traces, layoutOf(side, { xaxis: { ...axis(""), type: "category" }, yaxis: { ...axis(""), type: "category", autorange: "reversed" } })];
    },
  };

  const config = {
    displaylogo: false, responsive: true, displayModeBar: coarse ? true : "hover",
    modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]], plotlyServerURL: "", showLink: false,
  };

  const drawn = new Set();
  const show = (figure, width) => {
    const chart = charts[figure.dataset.chart];
    const plot = figure.querySelector(".plot");
    const [traces, layout] = draw[chart.kind](chart, width || plot.clientWidth);
    if (width) layout.width = width;
    Plotly.react(plot, traces, layout, { ...config, responsive: !width });
    if (!drawn.has(figure) && chart.kind === "confusion") {
      plot.on("plotly_click", ({ points: [point] }) => point.customdata && gallery(figure, chart, ...point.customdata));
    }
    drawn.add(figure);
  };

  // ---- tables under charts, from the same numbers

  const tableOf = ({ data, table, title }) => {
    if (table) return table;
    const places = [...new Set(data.series.flatMap((line) => line.x))].sort((a, b) => a - b);
    const values = data.series.map((line) => new Map(line.x.map((x, number) => [x, line.y[number]])));
    const rows = places.map((x) => [x, ...values.map((line) => line.get(x) ?? null)]);
    return { columns: [data.x, ...data.series.map((line) => line.name)], rows, title };
  };
  const cell = (value) => {
    if (value === null || value === undefined) return "";
    if (typeof value !== "number" || Number.isInteger(value)) return String(value);
    return Math.abs(value) < 0.001 ? value.toExponential(3) : value.toFixed(Math.abs(value) < 10 ? 4 : 2);
  };

  const fill = (details, figure, chart) => {
    const { columns, rows } = tableOf(chart);
    const visible = columns.filter((name) => name !== "").length;
    const withPictures = chart.kind === "confusion" && Object.keys(chart.data.pictures).length > 0;
    const body = element("tbody");
    const rowOf = (row) => {
      const cells = row.slice(0, visible).map((value, place) => {
        const made = element(place ? "td" : "th", { className: typeof value === "number" ? "number" : "text" });
        if (!place) made.scope = "row";
        made.append(element("bdi", { textContent: cell(value) }));
        return made;
      });
      if (withPictures) {
        const [t, p] = row.slice(visible);
        const button = element("button", { type: "button", textContent: "Show" });
        button.setAttribute("aria-label", `Show pictures: ${row[0]} predicted as ${row[1]}`);
        button.addEventListener("click", () => gallery(figure, chart, t, p, true));
        cells.push(element("td", {}, chart.data.pictures[`${t},${p}`] ? [button] : []));
      }
      return element("tr", {}, cells);
    };
    const refill = (sorted) => body.replaceChildren(...sorted.map(rowOf));
    const headers = columns.slice(0, visible).map((name, place) => {
      const button = element("button", { type: "button", textContent: name });
      const number = rows.some((row) => typeof row[place] === "number");
      const header = element("th", { scope: "col", className: number ? "number" : "text" }, [button]);
      button.addEventListener("click", () => {
        const down = header.getAttribute("aria-sort") === "ascending";
        headers.forEach((other) => other.removeAttribute("aria-sort"));
        header.setAttribute("aria-sort", down ? "descending" : "ascending");
        const sign = down ? -1 : 1;
        const compare = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a ?? "").localeCompare(String(b ?? "")));
        refill([...rows].sort((a, b) => sign * compare(a[place], b[place])));
      });
      return header;
    });
    refill(rows);
    const extra = withPictures ? [element("th", { scope: "col", textContent: "pictures" })] : [];
    const table = element("table", {}, [element("thead", {}, [element("tr", {}, [...headers, ...extra])]), body]);
    const scroll = element("div", { className: "scroll", tabIndex: 0 }, [table]);
    scroll.setAttribute("role", "region");
    scroll.setAttribute("aria-label", `Table: ${chart.title}`);
    details.append(scroll);
  };

  // ---- pictures

  const picture = (id, alt) => {
    const image = element("img", { src: pictures[id], alt });
    image.addEventListener("load", () => image.classList.toggle("small", image.naturalWidth < 64));
    return image;
  };
  const gallery = (figure, chart, t, p, move) => {
    const place = figure.querySelector(".gallery");
    const [from, to] = [chart.data.names[t], chart.data.names[p]];
    const found = chart.data.pictures[`${t},${p}`] || [];
    const row = chart.table.rows.find((one) => one[4] === t && one[5] === p);
    const count = row ? row[2] : 0;
    const shown = found.length < count ? `${found.length} of ${count} images` : `${count} image${count === 1 ? "" : "s"}`;
    const heading = element("h5", { tabIndex: -1 }, [
      element("bdi", { textContent: from }), t === p ? ", recognised: " : " predicted as ",
      ...(t === p ? [] : [element("bdi", { textContent: to }), ": "]), shown,
    ]);
    const items = found.map(([id, name, probability]) => element("li", {}, [
      picture(id, name),
      element("p", {}, [`${(100 * probability).toFixed(1)} %`, element("br"), element("small", {}, [element("bdi", { textContent: name })])]),
    ]));
    place.replaceChildren(heading, element("ul", { className: "pictures" }, items));
    if (move) heading.focus();
  };

  // ---- the page

  document.querySelectorAll("img[data-picture]").forEach((image) => {
    image.addEventListener("load", () => image.classList.toggle("small", image.naturalWidth < 64));
    image.src = pictures[image.dataset.picture];
  });
  const figures = [...document.querySelectorAll("figure[data-chart]")];
  const near = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (isIntersecting) {
        near.unobserve(target);
        show(target);
      }
    }
  }, { rootMargin: "300px" });
  for (const figure of figures) {
    near.observe(figure);
    const details = figure.querySelector("details.data");
    details.addEventListener("toggle", () => {
      if (details.open && details.children.length === 1) fill(details, figure, charts[figure.dataset.chart]);
    });
  }

  const which = document.getElementById("which");
  const choose = () => document.querySelectorAll("article.run").forEach((run) => { run.hidden = run.id !== which.value; });
  if (which) {
    which.addEventListener("change", choose);
    choose(); // a browser may restore another choice when it reloads the page
  }

  const theme = document.getElementById("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme || (system.matches ? "dark" : "light")) === "dark";
  const repaint = () => {
    theme.textContent = isDark() ? "Light" : "Dark";
    theme.setAttribute("aria-label", `Use the ${isDark() ? "light" : "dark"} theme`);
    drawn.forEach((figure) => show(figure));
  };
  theme.hidden = false;
  theme.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    repaint();
  });
  system.addEventListener("change", repaint);
  repaint();

  // On paper: light, and every chart of the runs that are shown, in pixels of A4 and Letter within the margins of 15 mm.
  const paper = { whole: 630, half: 290 };
  let before;
  addEventListener("beforeprint", () => {
    before = root.dataset.theme;
    root.dataset.theme = "light";
    for (const figure of figures.filter((one) => one.offsetParent !== null)) {
      const half = figure.matches(".charts > :not(:last-child:nth-child(odd))");
      show(figure, half ? paper.half : paper.whole);
    }
  });
  addEventListener("afterprint", () => {
    if (before) root.dataset.theme = before;
    else delete root.dataset.theme;
    repaint();
  });
})();

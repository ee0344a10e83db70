extension FlameGraph.Page {
  /// `makeHeatmap(canvas, options)` shows values over time on a canvas: a column for each span of time, in rows the parts of it. It stands
  /// outside of `function`, as pages use it for times of their own, too.
  package static let heatmapFunction = #"""
    const heatStops = { light: ["#eef0f4", "#d3e2fb", "#7fa9ec", "#23509c"], dark: ["#20242c", "#26395c", "#4674bd", "#a9c9ff"] };
    // The color of a share of the largest value, from 0 to 1, as three channels.
    const heatColors = stops => {
      const channels = stops.map(color => [1, 3, 5].map(at => parseInt(color.slice(at, at + 2), 16)));
      return share => {
        const place = share > 0 ? 1 + Math.sqrt(share) * (channels.length - 2) : 0, low = Math.min(Math.floor(place), channels.length - 2);
        return channels[low].map((channel, k) => Math.round(channel + (channels[low + 1][k] - channel) * (place - low)));
      };
    };

    // options: colors() with page, text, selected, heat; nameOf(column) on the axis; chosen(), a range of cells or null; point(range), what the
    // pointer or the cursor is at, or null; choose(first, last); clear(). Cells run down the columns, so that a range of them is one of time.
    // heat.set(columns, parts, partHeight, values): values that are no numbers were not measured.
    const makeHeatmap = (canvas, options) => {
      const context = canvas.getContext("2d", { alpha: false }), image = document.createElement("canvas"), axisHeight = 16;
      const heat = { columns: 0, parts: 1, partHeight: 1, width: 1, values: new Float64Array(0), cursor: -1, anchor: -1, isDragged: false };
      const columnOf = cell => Math.floor(cell / heat.parts);
      const between = (a, b) => [Math.min(a, b), Math.max(a, b)];

      heat.set = (columns, parts, partHeight, values) => {
        Object.assign(heat, { columns, parts, partHeight, values });
        heat.cursor = Math.min(heat.cursor, values.length - 1);
        heat.paint();
      };

      heat.paint = () => {
        const largest = heat.values.reduce((most, value) => value > most ? value : most, 0), { heat: stops, page } = options.colors();
        const colorOf = heatColors(stops), unknown = heatColors([page, page])(0);
        image.width = Math.max(heat.columns, 1);
        image.height = heat.parts;
        const pixels = new ImageData(image.width, heat.parts);
        heat.values.forEach((value, cell) => {
          const color = Number.isNaN(value) ? unknown : colorOf(largest > 0 ? value / largest : 0);
          pixels.data.set([...color, 255], 4 * ((cell % heat.parts) * image.width + columnOf(cell)));
        });
        image.getContext("2d").putImageData(pixels, 0, 0);
        heat.draw();
      };

      // One picture for all cells, and at most four rectangles for what is not chosen: nothing here grows with the samples.
      heat.draw = () => {
        if (heat.columns === 0 || canvas.clientWidth === 0) return;
        heat.width = Math.max(1, Math.min(48, Math.floor(canvas.clientWidth / heat.columns)));
        const ratio = devicePixelRatio || 1, width = canvas.clientWidth, height = heat.parts * heat.partHeight, colors = options.colors();
        canvas.width = Math.round(width * ratio);
        canvas.height = Math.round((height + axisHeight) * ratio);
        canvas.style.height = `${height + axisHeight}px`;
        context.setTransform(ratio, 0, 0, ratio, 0, 0);
        context.fillStyle = colors.page;
        context.fillRect(0, 0, width, height + axisHeight);
        context.imageSmoothingEnabled = false;
        context.drawImage(image, 0, 0, heat.columns * heat.width, height);
        context.font = "11px system-ui, sans-serif";
        context.textBaseline = "bottom";
        context.fillStyle = colors.text;
        const every = Math.ceil(56 / heat.width);
        for (let column = 0; column < heat.columns; column += every) {
          context.fillText(options.nameOf(column), column * heat.width + 1, height + axisHeight - 1);
        }
        const range = heat.isDragged ? between(heat.anchor, heat.cursor).map((cell, k) => cell + k) : options.chosen();
        if (range) {
          const [first, end] = range, [left, right] = [columnOf(first), columnOf(end)].map(column => column * heat.width);
          context.fillStyle = `${colors.page}b8`;
          context.fillRect(0, 0, left, height);
          context.fillRect(left, 0, heat.width, first % heat.parts * heat.partHeight);
          context.fillRect(right, end % heat.parts * heat.partHeight, heat.width, height - end % heat.parts * heat.partHeight);
          context.fillRect(right + heat.width, 0, width, height);
        }
        if (document.activeElement === canvas && heat.cursor >= 0) {
          context.strokeStyle = colors.selected;
          context.lineWidth = 2;
          const top = heat.cursor % heat.parts * heat.partHeight;
          context.strokeRect(columnOf(heat.cursor) * heat.width, top - 1, Math.max(heat.width, 3), heat.partHeight + 2);
        }
      };

      const cellAt = event => {
        const { left, top } = canvas.getBoundingClientRect();
        const clamp = (number, limit) => Math.max(0, Math.min(limit - 1, Math.floor(number)));
        return clamp((event.clientX - left) / heat.width, heat.columns) * heat.parts + clamp((event.clientY - top) / heat.partHeight, heat.parts);
      };
      const chooseColumn = cell => options.choose(columnOf(cell) * heat.parts, columnOf(cell) * heat.parts + heat.parts - 1);
      canvas.addEventListener("pointerdown", event => {
        if (event.button !== 0 || heat.columns === 0) return;
        canvas.setPointerCapture(event.pointerId);
        heat.cursor = heat.anchor = cellAt(event);
      });
      canvas.addEventListener("pointermove", event => {
        if (heat.columns === 0) return;
        const cell = cellAt(event);
        if (canvas.hasPointerCapture(event.pointerId)) {
          heat.cursor = cell;
          heat.isDragged ||= cell !== heat.anchor;
          heat.draw();
        }
        options.point(heat.isDragged ? between(cell, heat.anchor) : [cell, cell]);
      });
      canvas.addEventListener("pointerup", event => {
        if (!canvas.hasPointerCapture(event.pointerId)) return;
        if (!heat.isDragged) return chooseColumn(heat.cursor);
        heat.isDragged = false;
        options.choose(...between(heat.anchor, heat.cursor));
      });
      canvas.addEventListener("pointercancel", () => { heat.isDragged = false; heat.draw(); });
      canvas.addEventListener("pointerleave", () => options.point(null));
      for (const kind of ["focus", "blur"]) canvas.addEventListener(kind, heat.draw);
      canvas.addEventListener("keydown", event => {
        if (event.ctrlKey || event.metaKey || event.altKey || heat.columns === 0) return;
        const last = heat.values.length - 1;
        const move = by => {
          const isFirst = heat.cursor < 0;
          heat.cursor = isFirst ? 0 : Math.max(0, Math.min(last, heat.cursor + by));
          if (event.shiftKey && !isFirst) return options.choose(...between(heat.anchor, heat.cursor));
          heat.anchor = heat.cursor;
          options.point([heat.cursor, heat.cursor], true);
          heat.draw();
        };
        const keys = {
          ArrowRight: () => move(heat.parts), ArrowLeft: () => move(-heat.parts), ArrowDown: () => move(1), ArrowUp: () => move(-1),
          Home: () => move(-last), End: () => move(last), Enter: () => chooseColumn(Math.max(heat.cursor, 0)),
          " ": () => chooseColumn(Math.max(heat.cursor, 0)), Backspace: options.clear, Delete: options.clear,
        };
        if (!Object.hasOwn(keys, event.key)) return;
        event.preventDefault();
        event.stopPropagation();
        keys[event.key]();
      });
      return heat;
    };
    """#
}

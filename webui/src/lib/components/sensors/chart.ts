/** The history of one sensor, drawn with uPlot: the readings, gaps where there were none, and its limits as lines. */
import uPlot from 'uplot';

import 'uplot/dist/uPlot.min.css';

import type { Points } from '#lib/history.ts';
import type { Limit } from '#lib/sensors.ts';

export interface Look {
  limits: readonly [Limit, number][];
  height: number;
  format: (value: number) => string;
  clock: (ms: number) => string;
}

interface Colours {
  line: string;
  text: string;
  grid: string;
  warning: string;
  critical: string;
}

function colours(element: HTMLElement): Colours {
  const style = getComputedStyle(element);
  const of = (name: string): string => style.getPropertyValue(name).trim();
  return {
    line: of('--primary'),
    text: of('--muted-foreground'),
    grid: of('--border'),
    warning: of('--warning'),
    critical: of('--critical'),
  };
}

/** The range that shows all readings, and those limits that are near enough to be worth the room. */
export function range(values: readonly (number | null)[], limits: readonly number[]): [number, number] {
  const real = values.filter((each) => each !== null);
  if (real.length === 0) return limits.length ? [Math.min(...limits), Math.max(...limits)] : [0, 1];
  let low = Math.min(...real);
  let high = Math.max(...real);
  const reach = Math.max((high - low) * 2, Math.abs(high) * 0.6, 1e-6);
  for (const limit of limits) {
    if (limit > high && limit - high <= reach) high = limit;
    else if (limit < low && low - limit <= reach) low = limit;
  }
  const air = (high - low || Math.abs(high) || 1) * 0.06;
  return [low - air, high + air];
}

function lines(look: Look, colour: Colours): uPlot.Plugin {
  return {
    hooks: {
      draw: (plot) => {
        const { ctx, bbox } = plot;
        ctx.save();
        ctx.lineWidth = devicePixelRatio;
        for (const [limit, value] of look.limits) {
          const y = plot.valToPos(value, 'y', true);
          if (y < bbox.top || y > bbox.top + bbox.height) continue;
          ctx.strokeStyle = limit.endsWith('Warning') ? colour.warning : colour.critical;
          ctx.setLineDash(limit.endsWith('Fatal') ? [] : [6 * devicePixelRatio, 4 * devicePixelRatio]);
          ctx.beginPath();
          ctx.moveTo(bbox.left, y);
          ctx.lineTo(bbox.left + bbox.width, y);
          ctx.stroke();
        }
        ctx.restore();
      },
    },
  };
}

/** Draws into an element; gives how to renew and how to remove it. */
export function draw(element: HTMLElement, points: Points, look: Look): { renew(next: Points): void; remove(): void } {
  const colour = colours(element);
  const values = look.limits.map(([, value]) => value);
  const axis = { stroke: colour.text, grid: { stroke: colour.grid, width: 1 }, ticks: { stroke: colour.grid, width: 1 } };
  const plot = new uPlot(
    {
      width: Math.max(element.clientWidth, 100),
      height: look.height,
      legend: { show: false },
      cursor: { y: false, drag: { setScale: false } },
      scales: { y: { range: (self) => range(self.data[1] as (number | null)[], values) } },
      series: [{}, { stroke: colour.line, width: 2, points: { show: false }, spanGaps: false }],
      axes: [
        { ...axis, values: (_, ticks) => ticks.map((tick) => look.clock(tick * 1000)), space: 90 },
        { ...axis, values: (_, ticks) => ticks.map((tick) => look.format(tick)), size: 64 },
      ],
      plugins: [lines(look, colour)],
    },
    [points.times, points.values],
    element,
  );
  const observer = new ResizeObserver(() => {
    const width = element.clientWidth;
    if (width > 0 && width !== plot.width) plot.setSize({ width, height: look.height });
  });
  observer.observe(element);
  return {
    renew: (next) => plot.setData([next.times, next.values]),
    remove: () => {
      observer.disconnect();
      plot.destroy();
    },
  };
}

import { type Figure, judge } from './figure.ts';

const rowHeight = 34;
const labelWidth = 520;
const barWidth = 360;
const width = labelWidth + barWidth + 90;
/** Where bars end that are longer. */
const most = 2;

/** The figures as a picture: how much of what is wanted each one reaches. */
export function chart(figures: readonly Figure[]): string {
  const height = 44 + rowHeight * figures.length;
  const wanted = labelWidth + barWidth / most;
  const bars = figures.map((figure, index) => {
    const { ratio, reached } = judge(figure);
    const part = figure.better === 'more' ? ratio / figure.wanted : figure.wanted / ratio;
    const length = (barWidth * Math.min(part, most)) / most;
    const y = 36 + rowHeight * index;
    return `  <text x="${labelWidth - 12}" y="${y + 10}" text-anchor="end">${escaped(figure.what)}</text>
  <text x="${labelWidth - 12}" y="${y + 23}" text-anchor="end" class="beside">beside ${escaped(figure.beside)}</text>
  <rect x="${labelWidth}" y="${y}" width="${length.toFixed(1)}" height="22" class="${reached ? 'reached' : 'missed'}"/>
  <text x="${(labelWidth + length + 6).toFixed(1)}" y="${y + 15}">${ratio.toFixed(2)}</text>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="Each ratio as a part of what is wanted">
  <style>
    text { font: 12px system-ui, sans-serif; fill: #24292f }
    .beside { font-size: 10px; fill: #6e7781 }
    .reached { fill: #2da44e }
    .missed { fill: #cf222e }
  </style>
  <rect width="${width}" height="${height}" fill="#ffffff"/>
  <text x="${wanted}" y="18" text-anchor="middle">wanted</text>
${bars.join('\n')}
  <line x1="${wanted}" x2="${wanted}" y1="24" y2="${height - 8}" stroke="#24292f" stroke-dasharray="4 3"/>
</svg>
`;
}

function escaped(text: string): string {
  return text.replaceAll('`', '').replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}

// Puts the grids into the page.

const colours = new Map();

function colour(variable) {
  if (!colours.has(variable)) {
    colours.set(variable, getComputedStyle(document.documentElement)
                              .getPropertyValue(variable).trim());
  }
  return colours.get(variable);
}

const grids = [];

function drawAll() {
  colours.clear();
  for (const grid of grids) grid.redraw();
}

function listenToLegend(grid) {
  const buttons = [...document.querySelectorAll('.legend button')];
  for (const button of buttons) {
    button.addEventListener('click', () => {
      const pressed = button.getAttribute('aria-pressed') !== 'true';
      button.setAttribute('aria-pressed', String(pressed));
      const chosen = buttons.filter((b) => b.getAttribute('aria-pressed') === 'true')
                         .map((b) => b.dataset.key);
      grid.source.hidden = new Set(chosen.length === 0 ? [] :
          data.classes.map((c) => c.key).filter((key) => !chosen.includes(key)));
      grid.redraw();
    });
  }
}

function start() {
  document.documentElement.classList.add('live-maps');
  const fileGrid = new Grid(document.getElementById('file-map'), new FileSource());
  grids.push(fileGrid);
  if (data.guest.clusters > 0) {
    const guestGrid =
        new Grid(document.getElementById('guest-map'), new GuestSource());
    guestGrid.partner = fileGrid;
    fileGrid.partner = guestGrid;
    grids.push(guestGrid);
    for (const button of document.querySelectorAll('button[data-partition]')) {
      const partition = data.guest.partitions[Number(button.dataset.partition)];
      button.addEventListener('click', () => guestGrid.focusOn(
          Math.floor(partition.offset / data.clusterSize),
          Math.max(1, Math.ceil(partition.length / data.clusterSize))));
    }
  }
  for (const button of document.querySelectorAll('button[data-cluster]')) {
    button.addEventListener('click', () => fileGrid.focusOn(
        Number(button.dataset.cluster), Number(button.dataset.clusters)));
  }
  listenToLegend(fileGrid);
  window.addEventListener('resize', drawAll);
  window.matchMedia('(prefers-color-scheme: dark)')
      .addEventListener('change', drawAll);
  drawAll();
}

if (data.clusters > 0) start();

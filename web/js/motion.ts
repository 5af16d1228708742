// Tiles glide to their new places. The page draws a new picture at once; the browser then plays the way from the old
// place to the new one.

/** More tiles than this appear where they belong without gliding. */
const MAX_MOVING = 240;
const places = new WeakMap<Element, DOMRect>();
const byKey = new Map<string, DOMRect>();

/** Call after each drawing of the picture inside `root`; tiles carry `data-key`. */
export function glide(root: Element): void {
  const tiles = root.querySelectorAll<HTMLElement>("[data-key]");
  if (tiles.length > MAX_MOVING || matchMedia("(prefers-reduced-motion: reduce)").matches) {
    byKey.clear();
    return;
  }
  const seen = new Map<string, DOMRect>();
  for (const tile of tiles) {
    // The place in the layout, without the animations that are under way.
    const now = new DOMRect(...offset(tile, root), tile.offsetWidth, tile.offsetHeight);
    const key = tile.dataset.key!;
    const before = places.get(tile) ?? byKey.get(key);
    seen.set(key, now);
    places.set(tile, now);
    if (!before || (Math.abs(before.x - now.x) < 1 && Math.abs(before.y - now.y) < 1)) continue;
    tile.animate([{ translate: `${before.x - now.x}px ${before.y - now.y}px` }, { translate: "0 0" }], {
      duration: 420,
      easing: "cubic-bezier(.2,.8,.2,1)",
    });
  }
  byKey.clear();
  for (const [key, rect] of seen) byKey.set(key, rect);
}

function offset(tile: HTMLElement, root: Element): [number, number] {
  let x = 0;
  let y = 0;
  for (let at: HTMLElement | null = tile; at && at !== root; at = at.offsetParent as HTMLElement | null) {
    x += at.offsetLeft;
    y += at.offsetTop;
  }
  return [x, y];
}

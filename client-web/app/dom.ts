// Elements, made in one call. Text is always text: nothing here parses markup.

type Child = Node | string | null | undefined | false;
type Attributes = Record<string, string | boolean | null | undefined | ((event: never) => void)>;

/** An element with attributes (`on…`: listeners) and children. */
export function h<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[Tag] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === 'function') {
      element.addEventListener(name.slice(2), value as EventListener);
    } else if (value === true) {
      element.setAttribute(name, '');
    } else if (typeof value === 'string') {
      element.setAttribute(name, value);
    }
  }
  element.append(...children.filter((child): child is Node | string => Boolean(child)));
  return element;
}

/** Paths of 24 by 24, drawn as lines. */
const ICONS = {
  back: 'M15 5l-7 7 7 7',
  plus: 'M12 5v14M5 12h14',
  send: 'M5 12h13M12 5l7 7-7 7',
  clock: 'M12 7v5l3 2M12 3a9 9 0 100 18 9 9 0 000-18',
  check: 'M5 13l4 4L19 7',
  checks: 'M2 13l4 4L16 7M11 16l1 1L22 7',
  alert: 'M12 8v5M12 16.5v.01M12 3a9 9 0 100 18 9 9 0 000-18',
  smile: 'M8.5 14.5a4.5 4.5 0 007 0M9 9.5v.01M15 9.5v.01M12 3a9 9 0 100 18 9 9 0 000-18',
  pencil: 'M4 20l1-4L16 5l3 3L8 19l-4 1M14 7l3 3',
  trash: 'M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13M10 11v5M14 11v5',
  down: 'M12 5v14M5 12l7 7 7-7',
  leave: 'M14 4h5v16h-5M10 8l-4 4 4 4M6 12h9',
  file: 'M6 3h8l4 4v14H6zM14 3v4h4',
  clip: 'M8 12.5l5.5-5.5a3 3 0 014.3 4.3L10 19a5 5 0 01-7-7l7.5-7.5',
  save: 'M12 4v11M7 11l5 5 5-5M5 20h14',
  close: 'M6 6l12 12M18 6L6 18',
  power: 'M12 3v8M7 6.5a8 8 0 1010 0',
};

export type Icon = keyof typeof ICONS;

/** A drawing that says nothing to who listens: what it means is the label of what it stands in. */
export function icon(name: Icon): SVGElement {
  const namespace = 'http://www.w3.org/2000/svg';
  const svg = document.createElementNS(namespace, 'svg');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('aria-hidden', 'true');
  svg.classList.add('icon');
  const path = document.createElementNS(namespace, 'path');
  path.setAttribute('d', ICONS[name]);
  svg.append(path);
  return svg;
}

/** A round picture: initials on a colour that is always the same for the same name. */
export function avatar(name: string, online = false): HTMLElement {
  const letters = [...name.replace(/^[^\p{L}\p{N}]+/u, '')][0]?.toUpperCase() ?? '?';
  let hash = 0;
  for (const character of name) {
    hash = (hash * 31 + character.codePointAt(0)!) % 6;
  }
  return h(
    'span',
    { class: `avatar tint-${hash}`, 'aria-hidden': 'true' },
    letters,
    online && h('span', { class: 'dot' }),
  );
}

/** A name, kept apart from the direction of what stands around it. */
export function named(name: string, className = ''): HTMLElement {
  return h('bdi', { class: className }, name);
}

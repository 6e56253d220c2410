/**
 * The first name that comes twice in one object of a JSON text, null where none does. JSON.parse keeps the last of them without a word, other readers
 * the first: two readers would see two different files. The text must have been parsed before.
 */
export function repeatedName(json: string): string | null {
  const open: Set<string>[] = [];
  const strings = /"(?:[^"\\]|\\.)*"|[{}]/gs;
  for (let match = strings.exec(json); match; match = strings.exec(json)) {
    const [token] = match;
    if (token === '{') open.push(new Set());
    else if (token === '}') open.pop();
    else if (isName(json, strings.lastIndex)) {
      const name = JSON.parse(token) as string;
      if (open.at(-1)?.has(name)) return name;
      open.at(-1)?.add(name);
    }
  }
  return null;
}

/** Whether a colon follows, white space aside. */
function isName(json: string, at: number): boolean {
  let next = at;
  while (' \t\r\n'.includes(json[next] ?? '-')) next += 1;
  return json[next] === ':';
}

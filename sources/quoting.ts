/** A name in SQL, whatever characters it has. */
export const quoted = (name: string): string => `\`${name.replaceAll('`', '``')}\``;

export const quotedTable = ({ database, table }: { readonly database: string; readonly table: string }): string =>
  `${quoted(database)}.${quoted(table)}`;

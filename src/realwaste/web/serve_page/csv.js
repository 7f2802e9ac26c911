// The predictions as a CSV file, with the columns of `realwaste predict --csv`.

const COLUMNS = ["path", "class", "most_likely", "probability", "strangeness", "unlike", "not_sure", "error"];

/** Saves a file with a row per photo; each row has a value for each of COLUMNS. */
export function downloadCsv(rows) {
  const lines = [COLUMNS, ...rows.map((row) => COLUMNS.map((name) => row[name]))].map((cells) => cells.map(format).join(","));
  const link = document.createElement("a");
  // The mark at the beginning tells Excel that this is UTF-8.
  link.href = URL.createObjectURL(new Blob([`\ufeff${lines.join("\n")}\n`], { type: "text/csv" }));
  link.download = "predictions.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

function format(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "number") return String(Number(value.toPrecision(6)));
  // A spreadsheet would take such a name for a formula.
  const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
  return /[",;\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** Text that strangers chose: names that somebody tried, what a part says of itself, what a certificate is for. */

// C0 and C1 controls, and what turns text around or hides in it (Unicode TR 9, TR 36)
// eslint-disable-next-line no-control-regex -- these are the very characters to be found
const HIDDEN = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

/** The text with everything that cannot be seen, or makes other text look different, written out: `\u202e`. */
export function visible(text: string): string {
  return text.replace(HIDDEN, (one) => {
    const code = one.charCodeAt(0);
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16).padStart(4, '0')}`;
  });
}

/** Asks again and again, one question at a time: a slow answer makes it slower, never two at once. */

/**
 * Asks after each pause until `ask` says that it is enough, or the way back is called, which ends a question too.
 *
 * @param ask ends with whether that was the last time; what it raises counts as "not yet".
 * @param pauseMs between an answer and the next question.
 */
export function poll(ask: (signal: AbortSignal) => Promise<boolean>, pauseMs: number): () => void {
  const control = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;

  async function turn(): Promise<void> {
    const enough = await ask(control.signal).catch(() => false);
    if (!enough && !control.signal.aborted) timer = setTimeout(() => void turn(), pauseMs);
  }

  timer = setTimeout(() => void turn(), pauseMs);
  return () => {
    control.abort();
    clearTimeout(timer);
  };
}

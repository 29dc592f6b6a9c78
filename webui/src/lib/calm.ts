/** What happens often, done seldom. */
const USUAL_MS = 300;

/** Gives a function that may be called at any rate: `what` is done once, soon, for all calls until then. */
export function calm(what: () => void, ms: number = USUAL_MS): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  return () => {
    timer ??= setTimeout(() => {
      timer = undefined;
      what();
    }, ms);
  };
}

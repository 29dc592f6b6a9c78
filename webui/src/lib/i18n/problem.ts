/** Texts for what keeps a call from the BMC, and its answer from the page: the browser's own words are for programmers. */
import { catalogue } from './catalogue.ts';

export const transportTexts = catalogue(
  {
    unreachable: 'The BMC cannot be reached.',
    timed_out: 'The BMC did not answer in time. Whether it did what it was asked is not known.',
    cancelled: 'The call was broken off. Whether the BMC did what it was asked is not known.',
    no_sense: 'The BMC answered with something that these pages do not understand ({answer}).',
  },
  {
    unreachable: 'Der BMC ist nicht zu erreichen.',
    timed_out: 'Der BMC hat nicht rechtzeitig geantwortet. Ob er getan hat, worum er gebeten wurde, ist nicht bekannt.',
    cancelled: 'Der Aufruf wurde abgebrochen. Ob der BMC getan hat, worum er gebeten wurde, ist nicht bekannt.',
    no_sense: 'Der BMC hat etwas geantwortet, was diese Seiten nicht verstehen ({answer}).',
  },
);

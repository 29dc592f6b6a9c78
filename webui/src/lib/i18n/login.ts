/** Texts of the login. */
import { catalogue } from './catalogue.ts';

export const t = catalogue(
  {
    title: 'Log in',
    user: 'User name',
    password: 'Password',
    code: 'One-time code',
    code_hint: 'Six digits of your authenticator app, or a recovery code.',
    log_in: 'Log in',
    failed: 'Log-in failed',
    ended: 'Your session has ended. Log in again; you come back to where you were.',
    locked_hint:
      'After several wrong passwords an account is locked for some minutes, and refuses the right password too. Wait, or ask an administrator to unlock it.',
    show: 'Show password',
    change_title: 'Choose a password of your own',
    change_why: 'This password was given to you by somebody else or has run out. Nothing else is allowed before it is changed.',
    factor_title: 'Set up a second factor',
    factor_why: 'Your account has to have a second factor. Nothing else is allowed before it is set up.',
    other: 'Log in as somebody else',
    no_answer: 'The BMC does not answer.',
  },
  {
    title: 'Anmelden',
    user: 'Benutzername',
    password: 'Passwort',
    code: 'Einmalcode',
    code_hint: 'Sechs Ziffern der Authenticator-App oder ein Wiederherstellungscode.',
    log_in: 'Anmelden',
    failed: 'Anmeldung fehlgeschlagen',
    ended: 'Die Sitzung ist beendet. Nach dem Anmelden geht es dort weiter, wo sie endete.',
    locked_hint:
      'Nach mehreren falschen Passwörtern ist ein Konto für einige Minuten gesperrt und weist auch das richtige ab. Bitte warten oder die Administration um Entsperrung bitten.',
    show: 'Passwort zeigen',
    change_title: 'Eigenes Passwort wählen',
    change_why: 'Dieses Passwort hat jemand anderes vergeben, oder es ist abgelaufen. Vor der Änderung ist nichts anderes erlaubt.',
    factor_title: 'Zweiten Faktor einrichten',
    factor_why: 'Das Konto braucht einen zweiten Faktor. Vorher ist nichts anderes erlaubt.',
    other: 'Als jemand anderes anmelden',
    no_answer: 'Der BMC antwortet nicht.',
  },
);

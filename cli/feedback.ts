import { type RegisterCommand, printJson } from './command.ts';
import { tenantClient } from './credentials.ts';
import { pairs } from './customize.ts';

type Stored = { readonly customization: string; readonly example: string; readonly commit: string | null };

export const registerFeedback: RegisterCommand = (program) => {
  program
    .command('feedback')
    .description('the right answer to a prediction, whose id `predict --json` prints: it becomes an example')
    .argument('<prediction>')
    .argument('<text>', 'what was asked')
    .argument('<answer...>', 'fields of the right answer as NAME=VALUE, such as label=sport')
    .option('--json', 'print one JSON document')
    .action(async (prediction: string, text: string, answer: string[], options: { json?: boolean }) => {
      const body = { input: text, answer: pairs(answer) };
      const stored = await tenantClient().call<Stored>('POST', `/v1/predictions/${encodeURIComponent(prediction)}:feedback`, body);
      if (options.json) return printJson(stored);
      console.log(
        `example ${stored.example} of ${stored.customization}${stored.commit === null ? ' is as it was' : `, commit ${stored.commit}`}`,
      );
    });
};

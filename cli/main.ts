import { Command } from 'commander';
import { StartProblems } from '../infra/local/stack.ts';
import { ConfigError } from '../platform/config.ts';
import { ApiProblem } from './api-client.ts';
import { CommandError } from './command.ts';
import { commands } from './commands.ts';

const program = new Command('mw').description("Modelwright: keeps every tenant's own NLP model true to the rows it keeps in MySQL");
for (const register of commands) register(program);

try {
  await program.parseAsync(process.argv);
} catch (error) {
  if (error instanceof StartProblems) for (const problem of error.problems) console.error(`mw: ${problem}`);
  else if (error instanceof CommandError || error instanceof ConfigError || error instanceof ApiProblem)
    console.error(`mw: ${error.message}`);
  else console.error(error);
  process.exitCode = 1;
}

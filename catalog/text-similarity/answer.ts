import { numberOf, textsOf } from '../answering.ts';
import { type LoadAnswerer, textOf } from '../contract.ts';

/**
 * `{answers: [{answerId, score, answer?}..topK]}`: the best known question of each answer, by cosine, best first; those below the threshold are left out.
 * answering.json: answerIds (one a row of index.embeddings), answers (texts by id), threshold.
 */
export const loadAnswerer: LoadAnswerer = async (parts) => {
  const answerIds = textsOf(parts, 'answerIds');
  const { data } = await parts.tensor('index.embeddings');
  const { dim } = parts;
  if (data.length !== answerIds.length * dim)
    throw new Error(`index.embeddings does not fit ${answerIds.length} questions and ${dim} dimensions`);
  const { answers } = parts.answering;
  const texts = new Map(typeof answers === 'object' && answers !== null && !Array.isArray(answers) ? Object.entries(answers) : []);
  const threshold = numberOf(parts, 'threshold') ?? -Infinity;
  const textBytes = JSON.stringify(parts.answering).length * 2;

  return {
    bytes: data.length * 4 + textBytes,
    answer: async (inputs, encoder, { topK }) => {
      const questions = await encoder.embed(inputs.map((input) => textOf(input, 'question')));
      return questions.map((question) => {
        const best = new Map<string, { score: number; row: number }>();
        answerIds.forEach((answerId, row) => {
          let score = 0;
          for (let i = 0, at = row * dim; i < dim; i++, at++) score += (data[at] as number) * (question[i] as number);
          // Equal scores keep the order of the rows, as the trainer does.
          if (score >= threshold && score > (best.get(answerId)?.score ?? -Infinity)) best.set(answerId, { score, row });
        });
        const ranked = [...best].sort(([, a], [, b]) => b.score - a.score || a.row - b.row).slice(0, Math.max(1, topK));
        return {
          answers: ranked.map(([answerId, { score }]) => {
            const answer = texts.get(answerId);
            return { answerId, score, ...(answer === undefined ? {} : { answer }) };
          }),
        };
      });
    },
  };
};
